-- Who a seller is, and the windows with a row of theirs, oldest first.
select
    sellers.display_name,
    sellers.seller_type,
    array(
        select payout_window
        from marts.settlement_windows
        where seller_id = %(seller)s
        group by payout_window
        order by payout_window
    ) as windows
from (values (1)) as always (one)
left join staging.stg_sellers as sellers on sellers.seller_id = %(seller)s
