{# Incremental strategies that keep the table where it stands: old rows out, new rows in, one
   transaction. Readers see the rows of before until the commit, and nobody waits. #}

{# For tables whose model computes all their rows. #}
{% macro get_incremental_replace_all_sql(arg_dict) -%}
    {%- set columns = get_quoted_csv(arg_dict.dest_columns | map(attribute='name')) -%}
    delete from {{ arg_dict.target_relation }};
    insert into {{ arg_dict.target_relation }} ({{ columns }})
    select {{ columns }} from {{ arg_dict.temp_relation }}
{%- endmacro %}

{# For tables by order: only the rows of this build's touched orders, looked up like in looked_up, unless the
   build starts anew. #}
{% macro get_incremental_replace_touched_orders_sql(arg_dict) -%}
    {%- set columns = get_quoted_csv(arg_dict.dest_columns | map(attribute='name')) -%}
    {%- set touched = ref('int_touched_orders') %}
    delete from {{ arg_dict.target_relation }}
    {%- if last_build() is not none %}
    where ctid = any(array(
        select built.ctid from {{ touched }} as touched
        cross join lateral (
            select ctid from {{ arg_dict.target_relation }} as looked_up
            where looked_up.order_id = touched.order_id
            offset 0
        ) as built
    ))
    {%- endif %};
    insert into {{ arg_dict.target_relation }} ({{ columns }})
    select {{ columns }} from {{ arg_dict.temp_relation }}
{%- endmacro %}
