-- What people decided about a seller's payouts of a window that did not leave as promised, or should not have left.
with

decisions as (
    select
        payout_number,
        verdict as decision,
        note,
        adjustment_number,
        resolved_by as decided_by,
        resolved_at as decided_at
    from payouts.resolutions
    union all
    select
        payout_number,
        'reversed for ' || reason as decision,
        note,
        adjustment_number,
        reversed_by as decided_by,
        reversed_at as decided_at
    from payouts.reversals
)

select decisions.*
from decisions
inner join payouts.payouts as payouts on decisions.payout_number = payouts.payout_number
where payouts.seller_id = %(seller)s and payouts.payout_window = %(window)s
order by decisions.decided_at
