with

sellers as (select * from {{ ref('stg_sellers') }}),

region_rails as (select * from {{ ref('region_rails') }}),

policies as (select * from {{ ref('seller_policies') }}),

scores as (select * from {{ ref('int_seller_scores') }}),

cleared as (
    select seller_id
    from {{ source('payouts', 'clearances') }}
    where cleared_at > {{ as_of() }} - interval '{{ var("clearance_days") * 24 }} hours'
    group by seller_id
),

-- The seller's own wish where his region allows it, else the region's default: never a silent other one.
railed as (
    select
        sellers.*,
        coalesce(wished.rail, fallback.rail) as rail
    from sellers
    left join region_rails as wished
        on sellers.region = wished.region and sellers.preferred_rail = wished.rail
    left join region_rails as fallback
        on sellers.region = fallback.region and fallback.is_default
)

select
    railed.seller_id,
    railed.settlement_currency,
    railed.rail,
    railed.wallet_address as destination,
    railed.status = 'active' as is_active,
    {{ is_wallet_well_formed('railed.rail', 'railed.wallet_address') }}
    and coalesce(not railed.rail = any(judged.bad_rails), true) as is_wallet_valid,
    coalesce(
        railed.wallet_changed_at > {{ as_of() }} - interval '{{ var("quiet_period_hours") }} hours', false
    ) as is_wallet_recently_changed,
    coalesce(scores.review_required, false) and cleared.seller_id is null as needs_review,
    coalesce(policies.minimum_balance, 0) as minimum_balance,
    coalesce(policies.minimum_payout, 0) as minimum_payout
from railed
left join scores on railed.seller_id = scores.seller_id
left join cleared on railed.seller_id = cleared.seller_id
left join {{ source('payouts', 'judged_wallets') }} as judged on railed.wallet_address = judged.wallet_address
left join policies on railed.seller_type = policies.seller_type
