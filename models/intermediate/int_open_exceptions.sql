-- Whoever's row the decision may change waits for it.
select
    concerned.seller_id,
    adjustments.currency
from {{ source('payouts', 'exceptions') }} as exceptions
inner join {{ source('payouts', 'adjustments') }} as adjustments
    on exceptions.adjustment_number = adjustments.adjustment_number
inner join lateral (
    values (adjustments.seller_id), (adjustments.applied_to), (exceptions.to_seller)
) as concerned (seller_id) on concerned.seller_id is not null
where exceptions.decision is null
group by concerned.seller_id, adjustments.currency
