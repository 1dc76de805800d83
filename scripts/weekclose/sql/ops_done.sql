-- The payouts that moved last and wait for nothing, newest first: amounts in hundredths.
select
    payouts.payout_number,
    payouts.seller_id,
    sellers.display_name as name,
    payouts.payout_window,
    payouts.currency,
    cast(100 * payouts.amount as bigint) as amount,
    payouts.rail,
    payouts.status,
    payouts.reference_id,
    coalesce(payouts.failure_reason, '') as reasons,
    payouts.status_changed_at as since
from payouts.payouts
left join staging.stg_sellers as sellers on payouts.seller_id = sellers.seller_id
where payouts.payout_number <> all(%(queued)s)
order by payouts.status_changed_at desc, payouts.payout_number desc
limit %(limit)s
