-- What a freeze earns, from its lines, and what was invoiced beside them. Added up and not joined, so that a
-- question about one window reads no other.
with

fees as (
    select
        payout_window,
        currency,
        sum(gross) as gross,
        sum(case when kind = 'sale' then fees else 0 end) as sale_fees,
        sum(case when kind = 'refund' then -fees else 0 end) as fee_refunds,
        0 as invoice_count,
        0 as invoiced_paid,
        0 as invoiced_open
    from {{ source('payouts', 'frozen_lines') }}
    group by payout_window, currency
    union all
    select
        {{ payout_window_of(local_date('approved_at')) }} as payout_window,
        currency,
        0 as gross,
        0 as sale_fees,
        0 as fee_refunds,
        1 as invoice_count,
        case when status = 'settled' then applied_amount else 0 end as invoiced_paid,
        case when status = 'applied' then applied_amount else 0 end as invoiced_open
    from {{ source('payouts', 'adjustments') }}
    where class = 'gross_invoice_fee' and status in ('applied', 'settled')
)

select
    payout_window,
    currency,
    {{ money('sum(gross)') }} as gross,
    {{ money('sum(sale_fees)') }} as sale_fees,
    {{ money('sum(fee_refunds)') }} as fee_refunds,
    sum(invoice_count) as invoice_count,
    {{ money('sum(invoiced_paid)') }} as invoiced_paid,
    {{ money('sum(invoiced_open)') }} as invoiced_open,
    {{ money('sum(sale_fees - fee_refunds + invoiced_paid + invoiced_open)') }} as net_fees,
    {{ rate('sum(sale_fees) / nullif(sum(gross), 0)') }} as fee_rate
from fees
group by payout_window, currency
