-- How many events wait.
select count(*)
from payouts.event_outcomes
where outcome is null
