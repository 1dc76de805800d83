-- What a seller earned in a window is paid by one payout: its own, or the later one that it rolled into. A
-- row here is a seller who gets the same lines paid twice. A late success of a payout whose money has
-- rolled is known, waits for a person, and is no row here.
select
    payouts.seller_id,
    coverage.payout_window,
    payouts.currency,
    array_agg(payouts.payout_number order by payouts.payout_number) as paid_by
from {{ source('payouts', 'payout_coverage') }} as coverage
inner join {{ source('payouts', 'payouts') }} as payouts on coverage.payout_number = payouts.payout_number
where
    coverage.payout_window >= {{ first_audited_window() }}
    and payouts.status in ('ready', 'submitted', 'paid')
group by payouts.seller_id, coverage.payout_window, payouts.currency
having count(*) > 1
