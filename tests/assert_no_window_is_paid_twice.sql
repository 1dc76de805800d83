-- What a seller earned in a window is paid by one payout: its own, or the later one that it rolled into. A
-- row here is a seller who gets the same lines paid twice. A late success of a payout whose money had rolled
-- by then is known: its money leaves the balance once more, a person decides, and it is no row here.
with

paid as (
    select
        payouts.seller_id,
        coverage.payout_window,
        payouts.currency,
        payouts.payout_number,
        lead(payouts.payout_number) over payers as paid_again_by,
        lead(payouts.created_at) over payers as paid_again_at
    from {{ source('payouts', 'payout_coverage') }} as coverage
    inner join {{ source('payouts', 'payouts') }} as payouts on coverage.payout_number = payouts.payout_number
    where
        coverage.payout_window >= {{ first_audited_window() }}
        and payouts.status in ('ready', 'submitted', 'paid', 'reversed', 'awaiting_reconciliation')
    window payers as (
        partition by payouts.seller_id, coverage.payout_window, payouts.currency
        order by payouts.payout_window
    )
)

select
    paid.seller_id,
    paid.payout_window,
    paid.currency,
    paid.payout_number,
    paid.paid_again_by
from paid
left join {{ ref('int_late_payments') }} as late_payments
    on paid.payout_number = late_payments.payout_number and paid.paid_again_at < late_payments.reopened_at
where paid.paid_again_by is not null and late_payments.payout_number is null
