-- The tables of an Olist export: its files as they are, in the order of their columns, all of it text.
-- The keys refuse a file that is copied twice, which would double every amount.
create schema if not exists olist;

create table if not exists olist.sellers (
    seller_id text primary key,
    seller_zip_code_prefix text,
    seller_city text,
    seller_state text
);

create table if not exists olist.orders (
    order_id text primary key,
    customer_id text,
    order_status text not null,
    order_purchase_timestamp text,
    order_approved_at text,
    order_delivered_carrier_date text,
    order_delivered_customer_date text,
    order_estimated_delivery_date text
);

create table if not exists olist.order_items (
    order_id text,
    order_item_id text,
    product_id text,
    seller_id text not null,
    shipping_limit_date text,
    price text not null,
    freight_value text not null,
    primary key (order_id, order_item_id)
);

create table if not exists olist.order_payments (
    order_id text,
    payment_sequential text,
    payment_type text,
    payment_installments text,
    payment_value text not null,
    primary key (order_id, payment_sequential)
);

-- One row per order and seller; an order without items keeps one row, without a seller. A status that is
-- not named here stays empty, and raw.orders refuses it: better no mapping than a guess about money.
create or replace view olist.order_parts as
with

items as (
    select
        order_items.order_id,
        order_items.seller_id,
        sum(cast(order_items.price as numeric)) as price,
        sum(cast(order_items.freight_value as numeric)) as freight
    from olist.order_items
    group by order_items.order_id, order_items.seller_id
)

select
    orders.order_id,
    orders.order_id || ':' || coalesce(items.seller_id, '') as part_id,
    items.seller_id,
    case orders.order_status
        when 'created' then 'pending'
        when 'approved' then 'confirmed'
        when 'invoiced' then 'confirmed'
        when 'processing' then 'confirmed'
        when 'shipped' then 'fulfilled'
        when 'delivered' then 'fulfilled'
        when 'canceled' then 'cancelled'
        when 'unavailable' then 'cancelled'
    end as status,
    cast(orders.order_approved_at as timestamp) at time zone 'UTC' as approved_at,
    coalesce(items.price, 0) as price,
    coalesce(items.price + items.freight, 0) as gross
from olist.orders
left join items on orders.order_id = items.order_id;
