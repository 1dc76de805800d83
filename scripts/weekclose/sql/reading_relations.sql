-- Whether there is something to answer from: the payout tables, and every relation that the answers read.
select
    to_regclass('payouts.warehouse_runs') is not null as is_migrated,
    num_nulls(
        to_regclass('intermediate.int_builds'),
        to_regclass('intermediate.int_open_windows'),
        to_regclass('intermediate.int_order_events'),
        to_regclass('intermediate.int_seller_terms'),
        to_regclass('staging.stg_sellers'),
        to_regclass('marts.settlement_windows'),
        to_regclass('marts.settlement_lines'),
        to_regclass('marts.seller_balances'),
        to_regclass('marts.window_summary'),
        to_regclass('marts.reconciliation_breaks')
    ) = 0 as is_built
