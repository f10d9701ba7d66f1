"""A Starlette service that enqueues jobs and runs them in its own event loop: no second process, no broker.

    uvicorn examples.service:app
    curl -d '{"name": "Ana"}' localhost:8000/welcome        gives {"id": "0198..."}
    curl localhost:8000/jobs/0198...                        gives {"state": "completed", "result": "Welcome, Ana!"}

Jobs outlive the service: what is not done when it stops is handed back, and goes on when it starts again. To give jobs
processes of their own, run `callboard run examples.service:runtime` and let the lifespan be `async with runtime`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from callboard import Ctx, JobNotFound, Runtime

runtime = Runtime()  # the store: CALLBOARD_STORE, else sqlite:///callboard.db


@runtime.job(queue="mail")
async def welcome(ctx: Ctx, name: str) -> str:
    ctx.logger.info("writing")
    return f"Welcome, {name}!"


async def enqueue_welcome(request: Request) -> JSONResponse:
    handle = await welcome.enqueue((await request.json())["name"])
    return JSONResponse({"id": str(handle.id)}, status_code=202)


async def show_job(request: Request) -> JSONResponse:
    try:
        job = await runtime.handle(request.path_params["id"]).job()
    except (ValueError, JobNotFound) as error:
        return JSONResponse({"error": str(error)}, status_code=404)
    return JSONResponse({"state": job.state, "result": job.result})


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    async with runtime.work(queues={"mail": 20}):
        yield


app = Starlette(
    routes=[Route("/welcome", enqueue_welcome, methods=["POST"]), Route("/jobs/{id}", show_job)], lifespan=lifespan
)
