-- The summary that a window is reviewed and funded by is the sum of its rows. Treasury funds what the
-- summary says: a row here is a batch without cover, or cash that lies idle.
with

summary as (
    select
        payout_window,
        currency,
        sum(seller_count) as row_count,
        sum(net) as net,
        sum(payable) as payable
    from {{ ref('window_summary') }}
    where payout_window >= {{ first_audited_window() }}
    group by payout_window, currency
),

windows as (
    select
        payout_window,
        currency,
        count(*) as row_count,
        sum(net) as net,
        sum(payable) as payable
    from {{ ref('settlement_windows') }}
    where payout_window >= {{ first_audited_window() }}
    group by payout_window, currency
)

select
    payout_window,
    currency,
    summary.payable as summed_up,
    windows.payable
from summary
full outer join windows using (payout_window, currency)
where
    (summary.row_count, summary.net, summary.payable)
    is distinct from (windows.row_count, windows.net, windows.payable)
