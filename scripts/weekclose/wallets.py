"""Judges the sellers' wallet addresses by their checksums, which SQL cannot compute."""

from typing import Any

from psycopg import Connection

from weekclose.addresses import RAILS, check_destination
from weekclose.database import statement


def judge_wallets(conn: Connection[Any]) -> int:
    """Note for each address not judged yet the rails it is no valid destination for; how many there were.

    An address never changes its verdict, so each is judged once. Done before a build, which blocks the
    sellers concerned with `invalid_wallet`.
    """
    with conn.transaction(), conn.cursor() as cursor:
        addresses = [row[0] for row in cursor.execute(statement("wallets_to_judge"))]
        with cursor.copy("copy payouts.judged_wallets (wallet_address, bad_rails) from stdin") as copy:
            for address in addresses:
                bad_rails = [rail for rail in RAILS if check_destination(rail, address) is not None]
                copy.write_row((address, bad_rails))
    return len(addresses)
