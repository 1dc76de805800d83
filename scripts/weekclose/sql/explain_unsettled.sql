-- What of a seller's orders of a window settles nothing, and why.
select
    kind,
    source_id,
    order_id,
    unsettled_reason as reason
from intermediate.int_order_events
where unsettled_reason is not null and seller_id = %(seller)s and order_window = %(window)s
order by order_id collate "C", line_id collate "C"
