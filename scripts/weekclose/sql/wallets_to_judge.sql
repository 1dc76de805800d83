-- The sellers' addresses whose checksums nobody has looked at.
select distinct sellers.wallet_address
from raw.sellers as sellers
left join payouts.judged_wallets as judged on sellers.wallet_address = judged.wallet_address
where sellers.wallet_address <> '' and judged.wallet_address is null
