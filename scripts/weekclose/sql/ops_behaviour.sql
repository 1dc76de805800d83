-- How the payouts of each seller have gone, those with most trouble first: amounts in hundredths.
select
    behaviour.seller_id,
    sellers.display_name as name,
    behaviour.currency,
    behaviour.window_count,
    behaviour.paid_count,
    behaviour.failed_count,
    behaviour.blocked_count,
    behaviour.negative_count,
    cast(100 * behaviour.paid_amount as bigint) as paid_amount,
    cast(behaviour.median_days_to_paid as double precision) as days_to_paid,
    cast(behaviour.failed_rate as double precision) as failed_rate,
    cast(100 * (behaviour.debt_in_balance + behaviour.debt_beside_balance) as bigint) as debt,
    behaviour.last_paid_at
from marts.seller_payment_behaviour as behaviour
left join staging.stg_sellers as sellers on behaviour.seller_id = sellers.seller_id
order by
    behaviour.failed_count desc, debt desc, behaviour.paid_amount desc, behaviour.seller_id collate "C",
    behaviour.currency collate "C"
limit %(limit)s
