-- The next events that wait for nothing any more, in the order in which they came.
select inbox.event_id
from payouts.event_outcomes as outcomes
inner join payouts.inbox on outcomes.event_id = inbox.event_id
where
    outcomes.outcome is null
    and outcomes.event_id > %(after)s
    and inbox.verdict in ('book', 'no_effect')
order by inbox.event_id
limit %(up_to)s
