{# Incremental strategies that keep the table where it stands: old rows out, new rows in, one
   transaction. Readers see the rows of before until the commit, and nobody waits. #}

{# For tables whose model computes all their rows. #}
{% macro get_incremental_replace_all_sql(arg_dict) -%}
    {%- set columns = get_quoted_csv(arg_dict.dest_columns | map(attribute='name')) -%}
    delete from {{ arg_dict.target_relation }};
    insert into {{ arg_dict.target_relation }} ({{ columns }})
    select {{ columns }} from {{ arg_dict.temp_relation }}
{%- endmacro %}

{# For tables by order: only the rows of this build's touched orders, unless the build starts anew. #}
{% macro get_incremental_replace_touched_orders_sql(arg_dict) -%}
    {%- set columns = get_quoted_csv(arg_dict.dest_columns | map(attribute='name')) -%}
    delete from {{ arg_dict.target_relation }}
    {%- if last_build() is not none %}
    where order_id in (select order_id from {{ ref('int_touched_orders') }})
    {%- endif %};
    insert into {{ arg_dict.target_relation }} ({{ columns }})
    select {{ columns }} from {{ arg_dict.temp_relation }}
{%- endmacro %}
