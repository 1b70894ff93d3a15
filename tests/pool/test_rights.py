"""Tokens and Apps, without a wire."""

import jwt
import pytest

from backburn.errors import UserError
from backburn.pool.registrar import Later, Refused
from backburn.pool.rights import App, Token

from .moments import START, Moments


@pytest.fixture(scope="module")
def key():
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key):
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def app(key, answers, *, clock=None, skew=0.0, installation=7):
    asked = []

    def ask(method, path, bearer, body):
        asked.append((method, path, bearer, body))
        answer = answers[min(len(asked), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    given = {"app": 5, "key": pem(key), "installation": installation, "installed": "/orgs/acme/installation"}
    return App(ask, clock or Moments(), wanted={"permissions": {}}, skew=lambda: skew, **given), asked


MINTED = {"token": "ghs_x", "expires_at": "2026-11-18T00:00:00Z"}


def test_a_token_is_read_again_when_it_is_refused():
    values = iter(["one", "one", "two"])
    token = Token(lambda: next(values))
    assert token.bearer() == "one" and not token.renew("one") and token.renew("one") and token.bearer() == "two"
    assert token.secrets() == ("two",)


def test_a_token_whose_file_is_gone_stays_as_it_was():
    def read():
        if read.gone:
            raise UserError("no such file")
        return "one"

    read.gone = False
    token = Token(read)
    read.gone = True
    assert not token.renew("one") and token.bearer() == "one"


@pytest.mark.parametrize("skew", [-300.0, 0.0, 300.0])
def test_a_jwt_is_dated_back_a_minute_and_lasts_nine(key, skew):
    right, asked = app(key, [MINTED], skew=skew)
    right.bearer()
    options = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(asked[0][2], key.public_key(), algorithms=["RS256"], options=options)
    assert claims == {"iss": "5", "iat": START - 60 + skew, "exp": START - 60 + skew + 540}
    assert claims["exp"] < START + skew + 600 - 1  # GitHub takes ten minutes; a clock a second fast is inside, too


def test_the_installation_is_asked_for_where_it_is_not_given(key):
    right, asked = app(key, [{"id": 9}, MINTED], installation=0)
    right.bearer()
    assert [(one[0], one[1]) for one in asked] == [
        ("GET", "/orgs/acme/installation"),
        ("POST", "/app/installations/9/access_tokens"),
    ]


def test_a_refusal_is_tried_once_more_with_the_clock_that_it_told(key):
    right, asked = app(key, [Refused("401 for POST x: 'iat'"), MINTED])
    assert right.bearer() == "ghs_x" and len(asked) == 2
    right, asked = app(key, [Refused("401 for POST x")])
    with pytest.raises(Refused):
        right.bearer()
    assert len(asked) == 2
    right, asked = app(key, [Refused("404 for POST x")])
    with pytest.raises(Refused):
        right.bearer()
    assert len(asked) == 1


@pytest.mark.parametrize("answer", [None, [], {}, {"token": "", "expires_at": "x"}, {"token": 5, "expires_at": "x"}])
def test_an_answer_without_a_token_is_for_later(key, answer):
    right, _ = app(key, [answer])
    with pytest.raises(Later, match="has no token"):
        right.bearer()


def test_a_boolean_is_no_installation(key):
    right, _ = app(key, [{"id": True}], installation=0)
    with pytest.raises(Later, match="has no id"):
        right.bearer()


@pytest.mark.parametrize(("lasts", "kept"), [(3600, 3299), (200, 99), (-100, 0), (1 << 40, 3299)])
def test_a_token_is_renewed_five_minutes_before_its_end(key, lasts, kept):
    import datetime

    clock = Moments()
    end = datetime.datetime.fromtimestamp(START + min(lasts, 1 << 30), datetime.timezone.utc)
    right, asked = app(key, [{"token": "ghs_x", "expires_at": f"{end:%Y-%m-%dT%H:%M:%SZ}"}], clock=clock)
    right.bearer()
    clock.wait(kept)
    right.bearer()
    assert len(asked) == (1 if kept else 2)
    clock.wait(2)
    right.bearer()
    assert len(asked) == (2 if kept else 3)


def test_its_end_is_by_githubs_clock(key):
    clock = Moments()
    minted = {"token": "ghs_x", "expires_at": "2026-11-18T11:46:40Z"}  # 40 minutes by ours, 30 by GitHub's
    right, asked = app(key, [minted], clock=clock, skew=600.0)
    right.bearer()
    clock.wait(1501)
    right.bearer()
    assert len(asked) == 2


def test_an_end_that_is_no_date_is_an_hour_off(key):
    clock = Moments()
    right, asked = app(key, [{"token": "ghs_x", "expires_at": "soon"}], clock=clock)
    right.bearer()
    clock.wait(3000)
    right.bearer()
    assert len(asked) == 1


def test_a_token_that_another_thread_has_renewed_is_kept(key):
    right, asked = app(key, [MINTED | {"token": "ghs_y", "expires_at": "2026-12-01T00:00:00Z"}])
    right.bearer()
    assert right.renew("ghs_old") and right.bearer() == "ghs_y" and len(asked) == 1
    assert right.renew("ghs_y") and right.bearer() and len(asked) == 2


def test_another_kind_of_key_is_refused_without_a_word_of_it():
    from cryptography.hazmat.primitives.asymmetric import ec

    with pytest.raises(UserError, match="not an RSA key") as error:
        (
            app(None, [])
            if False
            else App(
                lambda *_: None,
                Moments(),
                app=1,
                key=_pkcs8(ec.generate_private_key(ec.SECP256R1())),
                installation=1,
                installed="",
                wanted={},
                skew=lambda: 0.0,
            )
        )
    assert "MIG" not in str(error.value)


def _pkcs8(key):
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
