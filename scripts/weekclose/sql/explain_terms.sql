-- What stays in a seller's balance, and the least that is paid out, as of the last build.
select
    minimum_balance,
    minimum_payout
from intermediate.int_seller_terms
where seller_id = %(seller)s
