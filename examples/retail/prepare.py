"""Lays out the retail example: two systems' customers, orders in PostgreSQL, products, rates, and prices on S3.

The rows are made up, with a fixed seed, and have the faults that such systems have: customers that both know and tell
differently of, one of the two in German writing; orders in three currencies and by customers whom nobody knows.

    data/crm.csv        600 customers, `;` between fields, decimal comma, day.month.year
    data/billing.db     500 accounts, some of the same customers
    data/products.xlsx  80 products, weights in kilograms, grams and pounds
    data/rates.csv      daily rates of the euro, none at weekends
    orders              a table of 4,000 rows in the database of RETAIL_DATABASE
    prices/             a Delta table below RETAIL_BUCKET, by the environment's AWS_ACCESS_KEY_ID and the like
"""

from __future__ import annotations

import csv
import datetime as dt
import os
import random
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

HERE = Path(__file__).resolve().parent
FIRST = dt.datetime(2025, 1, 6, tzinfo=dt.UTC)
DAYS = 365
GIVEN = ("Anna", "Ben", "Cem", "Dora", "Emil", "Fatma", "Greta", "Hans", "Ines", "Jan")
FAMILY = ("Albrecht", "Brandt", "Çelik", "Dietrich", "Engel", "Fuchs", "Groß", "Huber", "Ilić", "Jansen")
CITIES = ("Ulm", "Bonn", "Jena", "Kiel", "Köln", "Mainz")
CATEGORIES = {"shoes": 0.45, "clothes": 0.35, "books": 0.04, "tools": 0.12}
"""And how often one is sent back."""


def main(folder: Path, environment: Mapping[str, str] = os.environ) -> None:
    """Write the files, the table and the objects."""
    draw = random.Random(20_250_106)
    folder.mkdir(parents=True, exist_ok=True)
    people = [_person(draw, number) for number in range(1, 801)]
    write_crm(folder / "crm.csv", draw, people[:600])
    write_billing(folder / "billing.db", draw, people[300:])
    products = write_products(folder / "products.xlsx", draw)
    write_rates(folder / "rates.csv", draw)
    prices = pl.DataFrame(
        [
            {
                "product_id": name,
                "price": round(price * draw.uniform(0.9, 1.1), 2),
                "valid_from": FIRST + dt.timedelta(day),
            }
            for name, _, price in products
            for day in range(-30, DAYS, 45)
        ]
    )
    store_prices(prices, environment)
    store_orders(list(make_orders(draw, products)), environment["RETAIL_DATABASE"])


def _person(draw: random.Random, number: int) -> dict[str, Any]:
    return {
        "number": f"{number:05}",
        "given": draw.choice(GIVEN),
        "family": draw.choice(FAMILY),
        "born": dt.date(1950, 1, 1) + dt.timedelta(draw.randrange(20_000)),
        "city": draw.choice(CITIES),
        "woman": draw.random() < 0.5,
    }


def write_crm(path: Path, draw: random.Random, people: Sequence[Mapping[str, Any]]) -> None:
    """As the CRM writes it: an initial for the first name, a title in words or as a number."""
    rows = []
    for one in people:
        changed = FIRST + dt.timedelta(days=draw.randrange(-400, 0), minutes=draw.randrange(1440))
        limit = f"{draw.randrange(500, 9000):,}".replace(",", ".") + ",50"
        title = draw.choice(("Frau", "2")) if one["woman"] else draw.choice(("Herr", "1"))
        rows.append(
            [
                f"C{one['number']}",
                f"{one['given'][0]}. {one['family']}",
                title if draw.random() < 0.98 else "Firma",
                f"{one['born']:%d.%m.%Y}" if draw.random() < 0.9 else "",
                one["city"],
                limit,
                f"{changed:%d.%m.%Y %H:%M}",
            ]
        )
    rows.append(["unbekannt", "N. N.", "", "", "", "0,00", "01.01.2025 08:00"])
    write_csv(path, ["kunde", "name", "anrede", "geboren", "ort", "limit", "geaendert"], rows, separator=";")


def write_billing(path: Path, draw: random.Random, people: Sequence[Mapping[str, Any]]) -> None:
    """A fifth has moved since the CRM heard of them."""
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as database:
        database.execute(
            "CREATE TABLE accounts (cust_no TEXT, first_name TEXT, last_name TEXT, city TEXT, birth_date TEXT,"
            " balance_cents INTEGER, updated_at TEXT)"
        )
        for one in people:
            city = draw.choice(CITIES) if draw.random() < 0.2 else one["city"]
            updated = FIRST + dt.timedelta(days=draw.randrange(-200, 0))
            account = [one["number"], one["given"], one["family"], city, one["born"].isoformat()]
            account += [draw.randrange(-20_000, 50_000), f"{updated:%Y-%m-%dT%H:%M:%SZ}"]
            database.execute("INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?)", account)
    database.close()


def write_products(path: Path, draw: random.Random) -> list[tuple[str, str, float]]:
    """Name, category and price in euros of each."""
    made, rows = [], []
    for number in range(1, 81):
        category = draw.choice(list(CATEGORIES))
        unit = draw.choice(("kg", "g", "lb"))
        weight = draw.uniform(0.2, 3) * {"kg": 1.0, "g": 1000.0, "lb": 2.2}[unit]
        made.append((f"P{number:03}", category, draw.uniform(8, 120)))
        rows.append((f"P{number:03}", category, round(weight, 2), unit))
    columns = ["product_id", "category", "weight", "weight_unit"]
    pl.DataFrame(rows, schema=columns, orient="row").write_excel(path, "Products")
    return made


def write_rates(path: Path, draw: random.Random) -> None:
    """What one euro buys, on working days."""
    rates, rows = {"USD": 1.05, "GBP": 0.83}, []
    for n in range(-10, DAYS):
        day = FIRST + dt.timedelta(n)
        for code in rates:
            rates[code] *= draw.uniform(0.995, 1.005)
            if day.weekday() < 5:
                rows.append([code, f"{day:%Y-%m-%d}", f"{rates[code]:.4f}"])
    write_csv(path, ["currency", "day", "rate"], rows)


def make_orders(draw: random.Random, products: Sequence[tuple[str, str, float]]) -> Iterable[tuple[Any, ...]]:
    """Dear ones and shoes come back more often."""
    for number in range(1, 4001):
        product, category, price = draw.choice(products)
        quantity = draw.choice((1, 1, 1, 2, 3))
        share = draw.uniform(0.7, 1.1)
        currency, worth = draw.choice((("EUR", 1.0), ("EUR", 1.0), ("USD", 1.05), ("GBP", 0.83)))
        customer = f"C{draw.randrange(1, 801):05}" if draw.random() < 0.99 else "C99999"
        chance = CATEGORIES[category] + 0.4 * (share - 0.9)
        ordered_at = FIRST + dt.timedelta(seconds=draw.randrange(DAYS * 86_400))
        amount = round(price * quantity * share * worth, 2)
        yield number, customer, product, quantity, amount, currency, ordered_at, draw.random() < chance


def store_orders(rows: Sequence[tuple[Any, ...]], database: str) -> None:
    """The table, made anew."""
    import psycopg

    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS orders")
        cursor.execute(
            "CREATE TABLE orders (order_id bigint PRIMARY KEY, customer_id text, product_id text, quantity int,"
            " amount numeric(12, 2), currency text, ordered_at timestamptz, returned boolean)"
        )
        with cursor.copy("COPY orders FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def store_prices(prices: pl.DataFrame, environment: Mapping[str, str]) -> None:
    """A Delta table: the first half of the list, then the rest as a second version."""
    options = {name: value for name, value in environment.items() if name.startswith("AWS_")}
    if options.get("AWS_ENDPOINT_URL", "").startswith("http://"):
        options["AWS_ALLOW_HTTP"] = "true"
    table, half = f"s3://{environment['RETAIL_BUCKET']}/prices", prices.height // 2
    prices.head(half).write_delta(table, mode="overwrite", storage_options=options)
    prices.tail(-half).write_delta(table, mode="append", storage_options=options)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], separator: str = ",") -> None:
    """A CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main(HERE / "data")
