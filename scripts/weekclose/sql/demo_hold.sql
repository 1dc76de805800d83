-- What became of a seller's hold: the window that it kept money in, who ended it early, what paid the money then.
select
    escrow.hold_number,
    escrow.amount,
    kept.payout_window as held_in,
    case when escrow.ended_at < escrow.release_at then escrow.ended_by end as ended_by,
    (
        select min(payouts.payout_number) from payouts.payouts
        where
            payouts.seller_id = escrow.seller_id
            and payouts.currency = escrow.currency
            and payouts.payout_window > kept.payout_window
            and payouts.status = 'paid'
    ) as paid_by
from payouts.escrow_holds as escrow
left join lateral (
    select max(frozen_rows.payout_window) as payout_window
    from payouts.frozen_rows
    where
        frozen_rows.seller_id = escrow.seller_id
        and frozen_rows.currency = escrow.currency
        and frozen_rows.held > 0
) as kept on true
where escrow.seller_id = %(seller)s
order by escrow.hold_number
