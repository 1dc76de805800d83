-- Holds of people count as they stand, whatever the night; those whose time is over at as_of are over.
with

holds as (
    select
        seller_id,
        currency,
        amount
    from {{ source('payouts', 'escrow_holds') }}
    where status = 'active' and (release_at is null or release_at > {{ as_of() }})
    union all
    select
        seller_id,
        currency,
        amount
    from {{ ref('int_guarantee_holds') }}
)

select
    seller_id,
    currency,
    sum(amount) as held
from holds
group by seller_id, currency
