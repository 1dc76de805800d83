-- Batches of which something is open at the rail or contradicted by one of its events, and refused ones
-- whose successor may still leave; of what is named, all that were ever sent.
select batches.batch_id
from payouts.batches as batches
where
    batches.idempotency_key is not null
    and batches.rail <> 'MANUAL'
    and case
        when cast(%(paid_with)s as text) is not null then batches.paid_with = %(paid_with)s
        else
            batches.state = 'submitting'
            or (
                batches.state = 'submitted'
                and exists (
                    select from payouts.batch_items as items
                    inner join payouts.payouts as payouts on items.payout_number = payouts.payout_number
                    where
                        items.batch_id = batches.batch_id
                        and payouts.rail <> 'MANUAL'
                        and payouts.status in ('submitted', 'awaiting_reconciliation')
                )
            )
            or (
                batches.state = 'rejected'
                and exists (
                    select from payouts.batches as successors
                    where
                        successors.paid_with = batches.paid_with
                        and successors.state in ('frozen', 'approved')
                )
            )
            or batches.batch_id in (
                select items.batch_id
                from payouts.event_outcomes as outcomes
                inner join payouts.inbox as inbox on outcomes.event_id = inbox.event_id
                inner join payouts.batch_items as items on inbox.payout_number = items.payout_number
                where
                    outcomes.outcome is null
                    and inbox.verdict in ('needs_look_up', 'other_amount', 'not_submitted')
            )
    end
order by batches.payout_window, batches.generation
