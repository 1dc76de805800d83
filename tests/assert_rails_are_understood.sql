{{ config(severity='warn') }}
-- Addresses can be checked for TRC-20, ERC-20, SPL and PAYPAL, and MANUAL takes any text. A seller on any
-- other rail is blocked with invalid_wallet, however good his address is.
select rail
from {{ ref('region_rails') }}
where rail not in ('TRC-20', 'ERC-20', 'SPL', 'PAYPAL', 'MANUAL')
