-- The rail's events that wait, by what they wait for; those about a window's payouts, or all.
select
    inbox.verdict,
    count(*) as events,
    current_timestamp - min(inbox.received_at) as oldest
from payouts.event_outcomes as outcomes
inner join payouts.inbox as inbox on outcomes.event_id = inbox.event_id
where
    outcomes.outcome is null
    and (cast(%(window)s as date) is null or inbox.payout_window = cast(%(window)s as date))
group by inbox.verdict
order by inbox.verdict
