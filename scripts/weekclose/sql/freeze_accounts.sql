-- Every seller with a frozen row has an account, even if nothing ever moved on it.
insert into payouts.account_balances (account, seller_id, currency, balance)
select
    'seller_payable',
    seller_id,
    currency,
    0
from payouts.frozen_rows
where payout_window = %(window)s
on conflict (account, seller_id, currency) do nothing
