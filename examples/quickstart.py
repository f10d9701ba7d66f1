import asyncio

from callboard import Retry, Runtime

runtime = Runtime("sqlite:///quickstart.db")


@runtime.job(retry=Retry(max_attempts=3))
async def greet(name: str, *, lang: str = "en") -> str:
    return {"en": "Hello", "pt": "Olá"}[lang] + f", {name}!"


async def main() -> None:
    async with runtime.work(queues={"default": 10}):
        handle = await greet.enqueue("Ana", lang="pt")
        print(await handle.result(timeout=10))


if __name__ == "__main__":
    asyncio.run(main())
