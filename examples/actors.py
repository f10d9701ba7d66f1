"""A till counts what is sold. It crashes at a bad price, and starts again with the total that its ledger kept."""

import asyncio
from dataclasses import dataclass

from callboard import Actor, ActorCrashed, ChildSpec, Query, Supervisor


@dataclass(frozen=True)
class Sold:
    price: int


@dataclass(frozen=True)
class Total(Query[int]):
    """Answered with the sum of all prices."""


class Ledger(Actor):
    """Keeps the prices."""

    def __init__(self) -> None:
        self.prices: list[int] = []

    async def receive(self, message: object) -> object:
        match message:
            case Sold(price):
                self.prices.append(price)
            case Total():
                return sum(self.prices)
        return None


class Till(Actor):
    """Knows the total, and writes each sale into the ledger."""

    async def started(self) -> None:
        self.ledger = self.context.ref("ledger")
        self.total = await self.ledger.ask(Total())

    async def receive(self, message: object) -> object:
        match message:
            case Sold(price):
                if price < 0:
                    raise ValueError(f"nothing costs {price}")
                await self.ledger.tell(message)
                self.total += price
            case Total():
                return self.total
        return None


async def main() -> None:
    async with Supervisor([ChildSpec(Ledger, id="ledger"), ChildSpec(Till, id="till")]) as shop:
        till = shop.ref("till")
        for price in (3, 5, 8):
            await till.tell(Sold(price))
        print("total", await till.ask(Total()))

        try:
            await till.ask(Sold(-1))
        except ActorCrashed as crash:
            print(crash)

        print("total", await till.ask(Total()), "after", shop.restarts, "restart")


if __name__ == "__main__":
    asyncio.run(main())
