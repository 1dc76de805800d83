select
    requests.request_number,
    requests.seller_id,
    requests.currency,
    requests.amount,
    case
        when requests.decision is null then 'requested'
        when requests.decision = 'rejected' then 'rejected'
        -- Ready is not sent: it was approved, and nothing more.
        when payouts.status = 'ready' then 'approved'
        else payouts.status
    end as status,
    requests.reason,
    requests.schedule_number,
    payouts.payout_number,
    requests.requested_by,
    requests.requested_at,
    requests.decided_by,
    requests.decided_at,
    requests.decision_reason,
    requests.available
from {{ source('payouts', 'payout_requests') }} as requests
left join {{ source('payouts', 'payouts') }} as payouts on requests.request_number = payouts.request_number
