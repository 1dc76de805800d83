-- The first try to pay the window, waiting for its review; a window that pays nobody needs none.
insert into payouts.batches (batch_id, payout_window, content_digest)
select
    'W' || to_char(payout_window, 'YYYY-MM-DD') || '-G1',
    payout_window,
    payouts.batch_digest(payout_window)
from payouts.frozen_windows
where
    payout_window = %(window)s
    and exists (select from payouts.payouts where payouts.payout_window = frozen_windows.payout_window)
