"""Django 1.4 from the SDK's own libraries; who listens is kept in memcache."""

import json
import uuid

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from google.appengine.api import channel, memcache


def listeners():
    return memcache.get('listeners') or {}


def index(request):
    return render(request, 'page.html', {'token': channel.create_channel('reader-' + uuid.uuid4().hex)})


@require_POST
def say(request):
    for client_id in listeners():
        channel.send_message(client_id, json.dumps({'text': request.POST['text']}))
    return HttpResponse('ok')


@csrf_exempt
@require_POST
def connected(request):
    memcache.set('listeners', dict(listeners(), **{str(request.POST['from']): True}))
    return HttpResponse()


@csrf_exempt
@require_POST
def disconnected(request):
    left = listeners()
    left.pop(request.POST['from'], None)
    memcache.set('listeners', left)
    return HttpResponse()
