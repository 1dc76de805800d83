-- Who a seller is, and the windows with a row of theirs, oldest first.
select
    sellers.display_name,
    sellers.seller_type,
    array(
        select payout_window
        from payouts.windows_of(%(seller)s)
        group by payout_window
        order by payout_window
    ) as windows
from (values (1)) as always (one)
left join payouts.seller_named(%(seller)s) as sellers on true
