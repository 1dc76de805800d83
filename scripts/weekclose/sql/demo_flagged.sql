-- The sellers a person has to look at, the worst first, and who has cleared them.
select
    health.seller_id as seller,
    health.health_score as score,
    health.orders_count as orders,
    health.disputes_count as disputes,
    health.review_reasons as reasons,
    (
        select max(clearances.cleared_by) from payouts.clearances
        where clearances.seller_id = health.seller_id
    ) as cleared_by
from marts.seller_health as health
where health.review_required
order by health.health_score, health.seller_id
limit 3
