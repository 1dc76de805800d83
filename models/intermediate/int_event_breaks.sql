-- What the rail told us and the books have not taken. What only waits for the next look-up is on its way for
-- an hour; what waits for a person is about a payout that is a break already, unless that was reversed.
with

waiting as (
    select
        inbox.*,
        payouts.currency as payout_currency,
        inbox.verdict in ('unknown_type', 'unknown_payout', 'other_amount', 'not_submitted') as is_alarm
    from {{ source('payouts', 'inbox') }} as inbox
    left join {{ source('payouts', 'payouts') }} as payouts on inbox.payout_number = payouts.payout_number
    where
        inbox.outcome is null
        and (inbox.verdict != 'waits_for_a_person' or inbox.payout_status = 'reversed')
)

select
    case when is_alarm then 'event_' || verdict else 'event_waiting' end as break_type,
    'event:' || event_id as entity,
    seller_id,
    payout_window,
    coalesce(currency, payout_currency) as currency,
    case
        when verdict = 'other_amount' or status = 'completed' then coalesce(amount, payout_amount, 0) else 0
    end as expected,
    case
        when verdict = 'other_amount' or payout_status in ('paid', 'reversed') then payout_amount else 0
    end as actual,
    received_at as detected_at,
    case verdict
        when 'unknown_type' then 'unknown'
        when 'unknown_payout' then 'missing'
        when 'other_amount' then 'amount'
        when 'not_submitted' then 'outcome'
        else 'in_flight'
    end as category,
    case verdict when 'unknown_type' then 'engineering' else 'payouts' end as owner
from waiting
where is_alarm or received_at < current_timestamp - interval '1 hour'
