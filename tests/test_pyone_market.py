"""pyone: marketplaces and their appliances."""

import pyone
import pytest

from harness import cloud
from harness.rpc import Session


@pytest.fixture(scope="module")
def made(server):
    return cloud.cloud_make(Session(server), hosts=1)


@pytest.fixture
def market(one, request):
    name = "".join(letter for letter in request.node.name if letter.isalnum())
    return one.market.allocate(cloud.MARKET.format(name))


def test_those_of_a_new_installation(own_server):
    body = Session(own_server).ok("marketpool.info")
    for text in ("<ID>0</ID>", "<NAME>OpenNebula Public</NAME>", "<ID>1</ID>", "<NAME>Linux Containers</NAME>"):
        assert text in body
    assert Session(own_server).ok("market.allocate", cloud.MARKET.format("own")) == 100


@pytest.mark.parametrize("text", ['MARKET_MAD="dummy"', 'NAME="x"', 'NAME="x"\nMARKET_MAD="none"', 'NAME="x"\nMARKET_MAD="http"'])
def test_wrong_ones_are_refused(one, text):
    with pytest.raises(pyone.OneException):
        one.market.allocate(text)


def test_an_image_becomes_an_appliance(one, made, market):
    app = one.marketapp.allocate(f'NAME="small"\nORIGIN_ID="{made.image}"\nDESCRIPTION="d"\nAPPTEMPLATE64="QQ=="', market)
    found = one.marketapp.info(app)
    assert (found.STATE, found.TYPE, found.MARKETPLACE_ID, int(found.ORIGIN_ID)) == (1, 1, market, made.image)
    assert (found.SIZE, found.VERSION, found.DESCRIPTION, found.APPTEMPLATE64) == (16, "0.0", "d", "QQ==")
    assert one.market.info(market).MARKETPLACEAPPS.ID == [app]
    with pytest.raises(pyone.OneActionException, match="is not empty"):
        one.market.delete(market)
    assert one.marketapp.enable(app, False) == app
    assert one.marketapp.info(app).STATE == 4
    assert one.marketapp.enable(app, True) == app
    one.marketapp.update(app, 'VERSION="2.0"\nORIGIN_ID="99"', 1)
    changed = one.marketapp.info(app)
    assert (changed.VERSION, int(changed.ORIGIN_ID)) == ("2.0", made.image)
    assert one.marketapp.delete(app) == app
    assert one.market.delete(market) == market


def test_a_template_becomes_an_appliance(one, made, market):
    app = one.marketapp.allocate(f'NAME="tpl"\nTYPE="VMTEMPLATE"\nORIGIN_ID="{made.template}"', market)
    assert (one.marketapp.info(app).TYPE, one.marketapp.info(app).STATE) == (2, 1)


def test_where_none_can_be_put(one, made, market):
    text = f'NAME="never"\nORIGIN_ID="{made.image}"'
    for listed in (0, 1):
        with pytest.raises(pyone.OneActionException):
            one.marketapp.allocate(text, listed)
    http = one.market.allocate('NAME="web"\nMARKET_MAD="http"\nBASE_URL="http://127.0.0.1/"\nPUBLIC_DIR="/srv/none"')
    with pytest.raises(pyone.OneActionException, match="cannot take files yet"):
        one.marketapp.allocate(text, http)
    with pytest.raises(pyone.OneActionException, match="disabled"):
        one.market.enable(market, False)
        one.marketapp.allocate(text, market)
    one.market.enable(market, True)
    for wrong in ('NAME="n"', f'NAME="n"\nTYPE="BOX"\nORIGIN_ID="{made.image}"'):
        with pytest.raises(pyone.OneException):
            one.marketapp.allocate(wrong, market)
    with pytest.raises(pyone.OneNoExistsException):
        one.marketapp.allocate('NAME="n"\nORIGIN_ID="9999"', market)


def test_kept_over_a_restart(own_server):
    admin = Session(own_server)
    made = cloud.cloud_make(admin, hosts=1)
    market = admin.ok("market.allocate", cloud.MARKET.format("kept"))
    app = admin.ok("marketapp.allocate", cloud.APP.format("kept", made.image), market)
    before = admin.ok("market.info", market), admin.ok("marketapp.info", app)
    own_server.kill()
    own_server.start()
    admin = Session(own_server)
    assert (admin.ok("market.info", market), admin.ok("marketapp.info", app)) == before
