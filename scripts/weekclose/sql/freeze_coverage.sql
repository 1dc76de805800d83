-- Which windows' lines a new payout pays: its own, and each earlier one that no live payout has paid.
insert into payouts.payout_coverage (payout_number, payout_window)
select
    payouts.payout_number,
    earlier.payout_window
from payouts.payouts as payouts
inner join payouts.frozen_rows as earlier
    on
        payouts.seller_id = earlier.seller_id
        and payouts.currency = earlier.currency
        and earlier.payout_window <= payouts.payout_window
where
    payouts.payout_window = %(window)s
    and not exists (
        select from payouts.payout_coverage as coverage
        inner join payouts.payouts as paid on coverage.payout_number = paid.payout_number
        where
            paid.seller_id = earlier.seller_id
            and paid.currency = earlier.currency
            and coverage.payout_window = earlier.payout_window
            and paid.status in ('ready', 'submitted', 'paid', 'awaiting_reconciliation')
            and paid.payout_number <> payouts.payout_number
    )
