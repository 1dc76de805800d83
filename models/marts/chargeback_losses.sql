-- What was debited counts as recovered as far as the seller's balance bears it. While it is below zero the
-- youngest disputes are what is still owed: earnings settle the oldest debt first.
with

-- What lines in windows that are not frozen still claw back, or release.
to_be_frozen as (
    select
        order_id,
        seller_id,
        currency,
        order_window,
        sum(disputes) as amount
    from {{ ref('int_order_events') }}
    where payout_window >= {{ first_unfrozen_window() }} and unsettled_reason is null and disputes != 0
    group by order_id, seller_id, currency, order_window
),

orders as (
    select
        chargebacks.*,
        chargebacks.clawed_back
        - least(chargebacks.clawed_back, greatest(0, coalesce(to_be_frozen.amount, 0))) as debited
    from {{ ref('int_order_chargebacks') }} as chargebacks
    left join to_be_frozen
        on
            chargebacks.order_id = to_be_frozen.order_id
            and chargebacks.seller_id = to_be_frozen.seller_id
            and chargebacks.currency = to_be_frozen.currency
            and chargebacks.order_window = to_be_frozen.order_window
),

debts as (
    select
        seller_id,
        currency,
        -balance as amount
    from {{ source('payouts', 'account_balances') }}
    where account = 'seller_payable' and balance < 0
),

sellers as (select * from {{ ref('stg_sellers') }}),

of_sellers as (
    select
        orders.*,
        coalesce(debts.amount, 0) as below_zero,
        coalesce(sellers.status, 'closed') = 'closed' as is_closed
    from orders
    left join debts on orders.seller_id = debts.seller_id and orders.currency = debts.currency
    left join sellers on orders.seller_id = sellers.seller_id
),

queued as (
    select
        of_sellers.*,
        sum(debited) over (
            partition by seller_id, currency
            order by last_opened_at desc, order_id collate "C" desc
            rows between unbounded preceding and current row
        ) - debited as younger
    from of_sellers
),

settled as (
    select
        queued.*,
        clawed_back - debited + least(debited, greatest(0, below_zero - younger)) as owed
    from queued
)

select
    order_window,
    currency,
    count(*) as order_count,
    cast(sum(dispute_count) as bigint) as dispute_count,
    {{ money('sum(disputed)') }} as disputed,
    {{ money('sum(released)') }} as released,
    {{ money('sum(committed)') }} as committed,
    {{ money('sum(undecided)') }} as undecided,
    {{ money('sum(clawed_back)') }} as clawed_back,
    {{ money('sum(clawed_back - owed)') }} as recovered,
    {{ money('sum(case when is_closed then 0 else owed end)') }} as outstanding,
    {{ money('sum(committed - clawed_back + case when is_closed then owed else 0 end)') }} as lost,
    cast(sum(clawed_back - owed) / nullif(sum(committed), 0) as numeric(12, 6)) as recovery_rate,
    cast(
        sum(committed - clawed_back + case when is_closed then owed else 0 end) / nullif(sum(committed), 0)
        as numeric(12, 6)
    ) as loss_rate
from settled
group by order_window, currency
