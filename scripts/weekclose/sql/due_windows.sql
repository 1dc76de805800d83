-- The windows that the last build found due, oldest first.
select payout_window
from intermediate.int_open_windows
where is_due
order by payout_window
