-- What became of a seller's schedule: how often it was tried, what it asked for, what paid that.
select
    schedules.schedule_number,
    schedules.amount,
    schedules.status,
    schedules.retry_count,
    coalesce(schedules.last_error, '') as last_error,
    requests.request_number,
    payouts.payout_number,
    payouts.status as payout_status
from payouts.payout_schedules as schedules
left join payouts.payout_requests as requests on schedules.schedule_number = requests.schedule_number
left join payouts.payouts as payouts on requests.request_number = payouts.request_number
where schedules.seller_id = %(seller)s
order by schedules.schedule_number
