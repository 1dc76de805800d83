-- Every class of adjustments has one default policy. Without one its adjustments come into force for nobody
-- whose product or id is not listed, with two it depends on luck how they do.
with

classes as (
    select *
    from (
        values
        ('carry_forward_deduction'),
        ('carry_forward_credit'),
        ('gross_invoice_fee'),
        ('manual_cash_recovery')
    ) as known (class)
)

select
    classes.class,
    count(policies.class) as default_count
from classes
left join {{ ref('adjustment_policies') }} as policies
    on classes.class = policies.class and policies.scope = 'default'
group by classes.class
having count(policies.class) != 1
