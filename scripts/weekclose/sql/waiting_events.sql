-- What waiting events wait for.
select
    inbox.verdict,
    count(*) as events
from payouts.event_outcomes as outcomes
inner join payouts.inbox as inbox on outcomes.event_id = inbox.event_id
where outcomes.outcome is null
group by inbox.verdict
order by inbox.verdict
