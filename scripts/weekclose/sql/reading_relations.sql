-- Whether there is something to answer from: the payout tables, and every relation that the answers read.
-- Asked of the catalog, because not every login may look into every schema.
with

relations as (
    select nspname || '.' || relname as name
    from pg_catalog.pg_class
    inner join pg_catalog.pg_namespace on pg_class.relnamespace = pg_namespace.oid
    where nspname in ('payouts', 'intermediate', 'staging', 'marts')
)

select
    'payouts.warehouse_runs' in (select name from relations) as is_migrated,
    array[
        'intermediate.int_adjustment_lines',
        'intermediate.int_builds',
        'intermediate.int_open_windows',
        'intermediate.int_order_events',
        'intermediate.int_seller_terms',
        'staging.stg_sellers',
        'marts.adjustments',
        'marts.settlement_windows',
        'marts.settlement_lines',
        'marts.seller_balances',
        'marts.window_summary',
        'marts.reconciliation_breaks'
    ] <@ array(select name from relations) as is_built
