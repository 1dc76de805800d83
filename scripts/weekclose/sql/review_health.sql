-- How many sellers of a window have a health score in each fifth of ten points, the best ones in the last.
select
    least(cast(floor(health.health_score / 5) as integer), 19) * 5 as from_score,
    count(*) as sellers
from marts.seller_health as health
where
    health.health_score is not null
    and health.seller_id in (
        select windows.seller_id from marts.settlement_windows as windows
        where windows.payout_window = %(window)s
    )
group by from_score
order by from_score
