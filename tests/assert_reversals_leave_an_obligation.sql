-- A payout that is reversed has left an obligation of its seller, in its currency and of its amount, and an
-- obligation that follows from a reversal follows from a reversed payout. A reversal moves no balance by
-- itself: a row here is money that was wrongly paid and that nobody will ask for, or that is asked for twice.
with

reversals as (select * from {{ source('payouts', 'reversals') }}),

reversed as (
    select
        payout_number,
        seller_id,
        currency,
        amount
    from {{ source('payouts', 'payouts') }}
    where
        (payout_window >= {{ first_audited_window() }} and status = 'reversed')
        or payout_number in (select reversals.payout_number from reversals)
),

left_behind as (
    select
        reversals.payout_number,
        adjustments.seller_id,
        adjustments.currency,
        adjustments.amount,
        case
            when adjustments.source = 'reversal' then adjustments.class like 'carry_forward%'
            -- It had been paid back already.
            else
                adjustments.source = 'manual'
                and adjustments.class = 'manual_cash_recovery'
                and adjustments.settled_at <= reversals.reversed_at
        end
        and adjustments.source_id = reversals.payout_number as is_its_own
    from reversals
    inner join {{ source('payouts', 'adjustments') }} as adjustments
        on reversals.adjustment_number = adjustments.adjustment_number
)

select
    payout_number,
    reversed.amount as reversed,
    left_behind.amount as left_behind
from reversed
full outer join left_behind using (payout_number)
where
    (reversed.seller_id, reversed.currency, reversed.amount)
    is distinct from (left_behind.seller_id, left_behind.currency, left_behind.amount)
    or not left_behind.is_its_own
union all
select
    reversals.payout_number,
    payouts.amount as reversed,
    null as left_behind
from reversals
inner join {{ source('payouts', 'payouts') }} as payouts on reversals.payout_number = payouts.payout_number
where payouts.status != 'reversed'
union all
select
    adjustments.source_id as payout_number,
    null as reversed,
    adjustments.amount as left_behind
from {{ source('payouts', 'adjustments') }} as adjustments
left join reversals
    on adjustments.adjustment_number = reversals.adjustment_number
where adjustments.source = 'reversal' and reversals.payout_number is null
