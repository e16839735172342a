"""Errors of requests, with gRPC's codes, which TF Serving uses for both protocols."""

import grpc
import tensorflow as tf

CODES = {code.value[0]: code for code in grpc.StatusCode}


class RequestError(Exception):
    """A request cannot be answered: the code says whose fault it is, the message what to do."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def invalid(message: str) -> RequestError:
    """An error in what the client sent."""
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)


def as_request_error(error: Exception) -> RequestError:
    """Any error as a RequestError; TensorFlow's errors carry gRPC's codes."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, tf.errors.OpError):
        code = CODES.get(error.error_code, grpc.StatusCode.INTERNAL)
        return RequestError(code, error.message.split("[Op:")[0].strip())
    return RequestError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
