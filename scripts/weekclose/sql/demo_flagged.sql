-- The sellers a person has to look at, largest payable first.
select
    health.seller_id as seller,
    sellers.display_name as name,
    health.health_score as score,
    health.orders_count as orders_30d,
    health.disputes_count as disputes_30d,
    health.review_reasons as reasons
from marts.seller_health as health
inner join raw.sellers as sellers on health.seller_id = sellers.seller_id
where health.review_required
order by health.health_score, health.seller_id
limit 12
