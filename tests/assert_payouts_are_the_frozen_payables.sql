-- Each frozen row that pays has one payout of exactly its payable, and there is no other payout. Whatever
-- becomes of a payout, at any instant the frozen payables are what is ready, blocked, on its way, paid or
-- rolled. A row here is a seller who is left out of the batch, or paid another amount than was reviewed.
with

frozen_rows as (
    select * from {{ source('payouts', 'frozen_rows') }}
    where payout_window >= {{ first_audited_window() }} and payable > 0
),

payouts as (
    select * from {{ source('payouts', 'payouts') }}
    where payout_window >= {{ first_audited_window() }} and request_number is null
)

select
    seller_id,
    payout_window,
    currency,
    frozen_rows.payable,
    payouts.amount
from frozen_rows
full outer join payouts using (seller_id, payout_window, currency)
where frozen_rows.payable is distinct from payouts.amount
