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
    loaded_at
from {{ source('raw', 'sellers') }}
