with

requests as (select * from {{ source('payouts', 'payout_requests') }}),

schedules as (select * from {{ source('payouts', 'payout_schedules') }}),

sellers as (select * from {{ ref('stg_sellers') }}),

payouts as (
    select * from {{ source('payouts', 'payouts') }}
    where request_number is not null
),

executions as (
    select
        payouts.request_number,
        max(executions.noted_at) as noted_at
    from payouts
    inner join {{ source('payouts', 'executions') }} as executions
        on payouts.payout_number = executions.payout_number
    where payouts.status in ('paid', 'reversed')
    group by payouts.request_number
),

judged as (
    select
        {{ payout_window_of(local_date('requests.requested_at')) }} as request_window,
        requests.currency,
        coalesce(sellers.seller_type, 'none') as seller_type,
        coalesce(schedules.trigger_event, 'none') as trigger_event,
        requests.amount,
        coalesce(requests.decision, 'undecided') as decision,
        payouts.status in ('paid', 'reversed') as is_paid,
        payouts.status in ('failed', 'returned') as is_failed,
        extract(epoch from requests.decided_at) - extract(epoch from requests.requested_at)
            as seconds_to_decision,
        extract(epoch from executions.noted_at) - extract(epoch from requests.requested_at)
            as seconds_to_payment
    from requests
    left join schedules on requests.schedule_number = schedules.schedule_number
    left join sellers on requests.seller_id = sellers.seller_id
    left join payouts on requests.request_number = payouts.request_number
    left join executions on requests.request_number = executions.request_number
),

counted as (
    select
        request_window,
        currency,
        seller_type,
        trigger_event,
        count(*) as request_count,
        sum(amount) as amount,
        count(case when decision = 'undecided' then 1 end) as undecided_count,
        count(case when decision = 'approved' then 1 end) as approved_count,
        sum(case when decision = 'approved' then amount else 0 end) as approved_amount,
        count(case when decision = 'rejected' then 1 end) as rejected_count,
        sum(case when decision = 'rejected' then amount else 0 end) as rejected_amount,
        count(case when is_paid then 1 end) as paid_count,
        sum(case when is_paid then amount else 0 end) as paid_amount,
        count(case when is_failed then 1 end) as failed_count,
        percentile_cont(0.5) within group (order by seconds_to_decision) as median_seconds_to_decision,
        percentile_cont(0.5) within group (order by seconds_to_payment) as median_seconds_to_payment
    from judged
    group by request_window, currency, seller_type, trigger_event
)

select
    request_window,
    currency,
    seller_type,
    trigger_event,
    request_count,
    {{ money('amount') }} as amount,
    undecided_count,
    approved_count,
    {{ money('approved_amount') }} as approved_amount,
    rejected_count,
    {{ money('rejected_amount') }} as rejected_amount,
    paid_count,
    {{ money('paid_amount') }} as paid_amount,
    failed_count,
    cast(cast(approved_count as numeric) / nullif(approved_count + rejected_count, 0) as numeric(12, 6))
        as approval_rate,
    cast(cast(rejected_count as numeric) / nullif(approved_count + rejected_count, 0) as numeric(12, 6))
        as rejection_rate,
    cast(median_seconds_to_decision as numeric(18, 3)) as median_seconds_to_decision,
    cast(median_seconds_to_payment as numeric(18, 3)) as median_seconds_to_payment
from counted
