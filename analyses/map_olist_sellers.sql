-- Olist's sellers become ours. The export knows neither wallets nor a seller's standing: both come from
-- elsewhere, and a second run of this leaves them alone.
insert into raw.sellers as known (
    seller_id,
    display_name,
    region,
    settlement_currency,
    status,
    created_at
)
select
    sellers.seller_id,
    initcap(sellers.seller_city) || ', ' || sellers.seller_state as display_name,
    'LATAM' as region,
    'BRL' as settlement_currency,
    'active' as status,
    -- When a seller joined is not told: the day we first heard of him.
    now() as created_at
from olist.sellers
on conflict (seller_id) do update
    set
        display_name = excluded.display_name,
        loaded_at = now()
    where known.display_name is distinct from excluded.display_name;
