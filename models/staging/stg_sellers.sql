select
    seller_id,
    display_name,
    seller_type,
    region,
    nullif(preferred_rail, '') as preferred_rail,
    nullif(wallet_address, '') as wallet_address,
    case when wallet_changed_at <= {{ as_of() }} then wallet_changed_at end as wallet_changed_at,
    settlement_currency,
    status,
    created_at,
    loaded_at,
    -- Last, so that a view of before is replaced where it stands.
    coalesce(nullif(product, ''), 'standard') as product
from {{ source('raw', 'sellers') }}
